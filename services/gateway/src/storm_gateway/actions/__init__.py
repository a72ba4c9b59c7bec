"""What users do: authorise, store, publish after the commit. The only writers."""
