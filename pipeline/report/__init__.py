"""5 tell: figures of a campaign, for `status` and later for reports and pages. Pure; knows no store."""
