"""What people read: measurements, tables and plots."""
