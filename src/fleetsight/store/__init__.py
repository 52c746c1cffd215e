"""What must survive a crash: rows, bytes by digest, durable jobs, and the small tables that make effects happen once."""
