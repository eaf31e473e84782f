"""What a person may see and do about their own records."""
