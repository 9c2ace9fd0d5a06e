"""Connections and answers of the program's web servers, over real sockets."""
