"""The published forms of the model: listed as data, chosen for the machine, pulled, and found on disk again."""
