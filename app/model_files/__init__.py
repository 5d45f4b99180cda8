"""What files of models and adapters mean, for those who check them and those who serve them."""
