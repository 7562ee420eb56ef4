"""What a run is: its settings, name, folder and record, and how Hydra's config becomes one."""
