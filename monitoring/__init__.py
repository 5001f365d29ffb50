"""What happens after the release: drift and accuracy, from the predictions that delivery logs."""
