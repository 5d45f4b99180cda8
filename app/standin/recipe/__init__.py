"""How the stand-in and the example adapters are trained. A server never imports this."""
