"""One engine at work: its bounded queue and threads, the process around it, and the wire to that process."""
