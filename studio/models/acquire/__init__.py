"""How models come into the library: from files, addresses, the Hub, installed packages."""
