"""Rollouts in Slack: one message a rollout, kept up to date, and the same words as on the command line."""
