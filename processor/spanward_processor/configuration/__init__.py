"""The operator's YAML file, checked, and the parts it asks for."""
