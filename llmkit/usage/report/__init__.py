"""What a ledger has to say: its figures, and the page that shows them."""
