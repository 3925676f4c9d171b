"""campaign.toml: from a file that people write to the policies and values that the stages take.

secrets     what must not be written there, and is never shown
syntax      TOML, and every mistake in it
values      single values: from TOML to what the stages take
model       the keys: type, default, unit, help
faults      every mistake in the values, with its place and its fix
overrides   --set KEY=VALUE
load        all of it together
password    the secrets of relay, mailbox and store, which are kept elsewhere
sample      the commented file that `campaign init` writes
"""

from pipeline.config.load import FILE, load_config, read_config
from pipeline.config.model import Approval, CampaignKind, Forward, InDoubt
from pipeline.config.password import read_mailbox_password, read_password, read_store_password
from pipeline.config.sample import sample_config
from pipeline.config.settings import Settings

__all__ = [
    "FILE",
    "Approval",
    "CampaignKind",
    "Forward",
    "InDoubt",
    "Settings",
    "load_config",
    "read_config",
    "read_mailbox_password",
    "read_password",
    "read_store_password",
    "sample_config",
]
