"""What the adapter commands do. `app.cli` declares them and imports a module when its command runs."""
