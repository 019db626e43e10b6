"""When and why an SA changes. The dialect knows how."""
