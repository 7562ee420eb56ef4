"""Data sets by name. A new one is a class, a YAML in conf/dataset/ and a line here."""

from nba_cli.data.augment import Augment, to_float
from nba_cli.data.base import Data, Dataset, Splits, clean_share, hold_out
from nba_cli.data.folder import Folder
from nba_cli.data.library import Cifar10, Cifar100, FashionMnist, Gtsrb, Svhn
from nba_cli.data.sets import FashionMini, Npz

DATASETS: dict[str, type[Dataset]] = {
    "fashion_mini": FashionMini,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "fashion_mnist": FashionMnist,
    "gtsrb": Gtsrb,
    "svhn": Svhn,
    "npz": Npz,
    "folder": Folder,
}

__all__ = ["DATASETS", "Augment", "Data", "Dataset", "Splits", "clean_share", "hold_out", "to_float"]
