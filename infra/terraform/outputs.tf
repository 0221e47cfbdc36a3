output "policies" {
  description = "ARNs to attach to the worker's role."
  value = concat(
    aws_iam_policy.alb[*].arn,
    aws_iam_policy.lambda[*].arn,
    aws_iam_policy.route53[*].arn,
    aws_iam_policy.fences[*].arn,
    aws_iam_policy.cloudwatch[*].arn,
    aws_iam_policy.sns[*].arn,
    aws_iam_policy.eventbridge[*].arn,
  )
}
