"""IANA registries as enums; each names its registry and RFC."""
