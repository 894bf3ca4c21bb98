"""What a trained model knows and where it fails: predictions, confusion, mistakes, label errors."""
