"""What is measured and how sure one may be of it: ranking metrics, cohorts, bootstrap intervals."""
