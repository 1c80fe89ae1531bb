# Bucket, BigQuery dataset and the service accounts that use them, with just the rights that they need.
#   terraform -chdir=deploy/google init
#   terraform -chdir=deploy/google apply -var project=my-project -var bucket=my-taxi-lake

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}

variable "project" {
  description = "Id of the project, TAXI_GCP_PROJECT."
  type        = string
}

variable "bucket" {
  description = "Name of the lake's bucket, TAXI_GCS_BUCKET; no other bucket of Google's may have it."
  type        = string
}

variable "dataset" {
  description = "BigQuery dataset of the tables, TAXI_BIGQUERY_DATASET."
  type        = string
  default     = "taxi"
}

variable "location" {
  description = "Where both are, TAXI_BIGQUERY_LOCATION: BigQuery loads only from a bucket in its own location."
  type        = string
  default     = "US"
}

variable "analysts" {
  description = "Who may read the tables, such as [\"group:analysts@example.com\"]."
  type        = set(string)
  default     = []
}

provider "google" {
  project = var.project
}

resource "google_storage_bucket" "lake" {
  name                        = var.bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # What a killed run left; the others promote theirs within minutes.
  lifecycle_rule {
    condition {
      age            = 7
      matches_prefix = ["pending/"]
    }
    action {
      type = "Delete"
    }
  }
}

resource "google_bigquery_dataset" "taxi" {
  dataset_id  = var.dataset
  location    = var.location
  description = "Trips of New York's taxis, a table a dataset; rebuilt from gs://${var.bucket} at any time."
}

# Runs: they write the lake, load the tables and ask them.
resource "google_service_account" "loader" {
  account_id   = "taxi-loader"
  display_name = "Taxi Assets: runs"
}

resource "google_storage_bucket_iam_member" "loader" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectUser"
  member = google_service_account.loader.member
}

resource "google_bigquery_dataset_iam_member" "loader" {
  dataset_id = google_bigquery_dataset.taxi.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.loader.member
}

# To run a query is a right in the project: there is none for it on a dataset.
resource "google_project_iam_member" "loader" {
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.loader.member
}

# Dagster's UI in Kubernetes: it shows what runs printed, which is in the bucket there, and sees no trip.
resource "google_service_account" "ui" {
  account_id   = "taxi-ui"
  display_name = "Taxi Assets: UI and daemon"
}

resource "google_storage_bucket_iam_member" "ui" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.ui.member

  condition {
    title      = "logs-only"
    expression = "resource.name.startsWith(\"projects/_/buckets/${var.bucket}/objects/dagster-logs/\")"
  }
}

resource "google_bigquery_dataset_iam_member" "analysts" {
  for_each   = var.analysts
  dataset_id = google_bigquery_dataset.taxi.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.value
}

output "loader" {
  description = "The account whose key compose mounts: gcloud iam service-accounts keys create key.json --iam-account=..."
  value       = google_service_account.loader.email
}
