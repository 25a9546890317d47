"""The alerter's rules: the one YAML file, checked, and what it says about an alert (pure)."""
