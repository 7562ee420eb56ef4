"""What is measured: ACC, ASR, RA and DER; how visible a trigger is; what a defense costs."""

from nba_cli.metrics.backdoor import der, measure
from nba_cli.metrics.cost import Cost, Meter

__all__ = ["Cost", "Meter", "der", "measure"]
