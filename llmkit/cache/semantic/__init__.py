"""What a semantic cache decides without waiting: what is asked, and whether two questions may share an answer."""
