"""Data sets by name. A new one is a class, a YAML in conf/dataset/ and a line here."""

from nba_cli.data.augment import Augment, to_float
from nba_cli.data.base import Dataset
from nba_cli.data.clean_set import check_hold_out, clean_share, hold_out
from nba_cli.data.draw import some_of
from nba_cli.data.fashion_mini import FashionMini
from nba_cli.data.folder import Folder
from nba_cli.data.images import Data, Splits, scaled_batch
from nba_cli.data.npz import Npz
from nba_cli.data.picture import read_picture
from nba_cli.data.tiny_imagenet import TinyImagenet
from nba_cli.data.torchvision import Cifar10, Cifar100, FashionMnist, Gtsrb, Svhn, TorchvisionSet
from nba_cli.data.tree import SUFFIXES

DATASETS: dict[str, type[Dataset]] = {
    "fashion_mini": FashionMini,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "fashion_mnist": FashionMnist,
    "gtsrb": Gtsrb,
    "svhn": Svhn,
    "npz": Npz,
    "folder": Folder,
    "tiny_imagenet": TinyImagenet,
}

__all__ = [
    "DATASETS",
    "SUFFIXES",
    "Augment",
    "Cifar10",
    "Cifar100",
    "Data",
    "Dataset",
    "FashionMini",
    "FashionMnist",
    "Folder",
    "Gtsrb",
    "Npz",
    "Splits",
    "Svhn",
    "TinyImagenet",
    "TorchvisionSet",
    "check_hold_out",
    "clean_share",
    "hold_out",
    "read_picture",
    "scaled_batch",
    "some_of",
    "to_float",
]
