"""The databases behind a pair: servers, clients, what is done to them, and figures."""
