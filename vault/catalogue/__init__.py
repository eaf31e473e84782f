"""The law as data: which categories and fields may exist, who may ask, and until when."""
