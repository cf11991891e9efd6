"""What users send: salary files, projections, lists of drivers and rules; read into one form. No NumPy here."""
