# What the worker's role may touch. Leave empty what no spec of yours uses: its policy is not made then.

variable "name" {
  description = "What the policies' names begin with."
  type        = string
  default     = "coalmine"
}

variable "listeners" {
  description = "ARNs of the load balancers' listeners and rules that specs name in route.places."
  type        = list(string)
  default     = []
}

variable "functions" {
  description = "ARNs of the Lambda functions, without a version."
  type        = list(string)
  default     = []
}

variable "zones" {
  description = "Ids of the hosted zones."
  type        = list(string)
  default     = []
}

variable "fence_tables" {
  description = "ARNs of the DynamoDB tables that specs name in route.fence_table."
  type        = list(string)
  default     = []
}

variable "read_cloudwatch" {
  description = "Whether specs have a source of kind cloudwatch."
  type        = bool
  default     = false
}

variable "topics" {
  description = "ARNs of the SNS topics that specs name in notify."
  type        = list(string)
  default     = []
}

variable "buses" {
  description = "ARNs of the event buses that specs name in notify."
  type        = list(string)
  default     = []
}
