"""What serving costs here: `make bench`. docs/performance.md says what each number means."""
