"""What CI systems read: findings at their lines, for GitHub's annotations and for SARIF. Pure."""
