"""What serving costs here: `make bench`. benchmarks/README.md says what each number means."""
