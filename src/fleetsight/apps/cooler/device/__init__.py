"""The agent that runs on a cooler: opens the door for signed commands, records, keeps what it recorded until the server has it."""
