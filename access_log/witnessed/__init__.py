"""What witnesses cosigned, and receipts against it, for anyone (FORMAT 7, 8)."""
