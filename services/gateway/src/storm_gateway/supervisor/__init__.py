"""Several nodes on one machine: started, watched, restarted and ended in an order."""
