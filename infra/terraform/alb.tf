# Router aws-alb. ELBv2 lets nobody narrow what may be described, so those name no resource.

data "aws_iam_policy_document" "alb" {
  statement {
    sid    = "Read"
    effect = "Allow"
    actions = [
      "elasticloadbalancing:DescribeListeners",
      "elasticloadbalancing:DescribeRules",
      "elasticloadbalancing:DescribeTags",
      "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetHealth",
    ]
    resources = ["*"]
  }
  statement {
    sid    = "Shift"
    effect = "Allow"
    actions = [
      "elasticloadbalancing:AddTags",
      "elasticloadbalancing:ModifyListener",
      "elasticloadbalancing:ModifyRule",
    ]
    resources = var.listeners
  }
}

resource "aws_iam_policy" "alb" {
  count  = length(var.listeners) > 0 ? 1 : 0
  name   = "${var.name}-alb"
  policy = data.aws_iam_policy_document.alb.json
}
