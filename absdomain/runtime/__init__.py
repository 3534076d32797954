"""What touches the machine: processes, device, memory, files that are written whole, modes and precision."""
