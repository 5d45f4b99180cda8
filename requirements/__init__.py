"""The pinned lists of packages: what makes, installs, lists and audits them."""
