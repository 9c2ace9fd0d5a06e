"""What this project adds to Faust."""
