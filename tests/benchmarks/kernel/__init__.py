"""What a native kernel for rows of JSON would save: decision 0043."""
