"""What is remembered: panes, windows, trade identities, alert episodes, table stores and the web view of them."""
