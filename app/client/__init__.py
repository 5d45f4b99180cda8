"""The finetunes API seen from a client, over HTTP: this server's, and what the hosted service has of it."""

from app.client.address import api_url
from app.client.answers import Finetune, ServerRefused, Upload
from app.client.finetunes import FinetunesClient

__all__ = ["Finetune", "FinetunesClient", "ServerRefused", "Upload", "api_url"]
