"""deploy/kubernetes/values.yaml: the keys of the chart, the settings of dagster.yaml, and the pod that a run gets.

There is neither Helm nor a cluster here. What the chart would pass to `dagster-k8s` is passed to it by the test, and
that package builds the job from it with the classes of Kubernetes' own client, which refuse unknown fields.
"""

import importlib.metadata
import re
from typing import Any

import kubernetes.client
import pytest
import yaml
from dagster_k8s.container_context import K8sContainerContext

from taxi_assets.settings import PROJECT_ROOT, VARIABLES, Settings

VALUES = yaml.safe_load((PROJECT_ROOT / "deploy" / "kubernetes" / "values.yaml").read_text())
DAGSTER = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
[CODE] = VALUES["dagster-user-deployments"]["deployments"]
# What the chart's schema (helm/dagster/schema of Dagster's repository) knows at the places that these values fill.
KNOWN = {
    "": "dagsterWebserver dagster-user-deployments postgresql generatePostgresqlPasswordSecret rabbitmq redis flower "
    "ingress serviceAccount computeLogManager runLauncher dagsterDaemon telemetry global retention concurrency",
    "global": "postgresqlSecretName dagsterHome serviceAccountName celeryConfigSecretName",
    "postgresql": "postgresqlScheme image enabled postgresqlHost postgresqlUsername postgresqlPassword "
    "postgresqlDatabase postgresqlParams service",
    "dagster-user-deployments": "enabled enableSubchart imagePullSecrets deployments serviceAccount rbacEnabled",
    "runLauncher.config.k8sRunLauncher": "image imagePullPolicy jobNamespace loadInclusterConfig kubeconfigFile "
    "envConfigMaps envSecrets envVars volumeMounts volumes labels failPodOnRunFailure resources schedulerName "
    "securityContext runK8sConfig",
    "runLauncher.config.k8sRunLauncher.runK8sConfig": "containerConfig podSpecConfig podTemplateSpecMetadata "
    "jobSpecConfig jobMetadata",
    "concurrency": "enabled pools runs",
    "concurrency.pools": "defaultLimit granularity opGranularityRunBuffer",
    "concurrency.runs": "maxConcurrentRuns tagConcurrencyLimits",
    "dagsterDaemon": "enabled image runCoordinator heartbeatTolerance env envConfigMaps envSecrets labels resources "
    "securityContext podSecurityContext runMonitoring runRetries sensors schedules",
    "dagsterDaemon.runRetries": "enabled maxRetries retryOnAssetOrOpFailure",
    "dagsterWebserver": "replicaCount image service workspace env envConfigMaps envSecrets resources securityContext "
    "podSecurityContext enableReadOnly readinessProbe",
    "computeLogManager.config.gcsComputeLogManager": "bucket localDir prefix jsonCredentialsEnvvar uploadInterval",
    "retention": "enabled sensor schedule autoMaterialize",
    "retention.sensor.purgeAfterDays": "skipped success failure started",
}
DEPLOYMENT = (
    "name image port dagsterApiGrpcArgs codeServerArgs includeConfigInLaunchedRuns env envConfigMaps envSecrets "
    "annotations nodeSelector affinity tolerations podSecurityContext securityContext resources livenessProbe "
    "readinessProbe startupProbe labels volumeMounts volumes schedulerName initContainers sidecarContainers"
)


def at(path: str) -> Any:
    found = VALUES
    for key in filter(None, path.split(".")):
        found = found[key]
    return found


@pytest.mark.parametrize("path", KNOWN)
def test_values_are_ones_that_the_chart_knows(path: str) -> None:
    assert set(at(path)) <= set(KNOWN[path].split())
    assert set(CODE) <= set(DEPLOYMENT.split())


def test_settings_of_the_instance_are_those_of_dagster_yaml() -> None:
    daemon, pools = VALUES["dagsterDaemon"], VALUES["concurrency"]["pools"]
    assert DAGSTER["concurrency"]["pools"] == {
        "default_limit": pools["defaultLimit"],
        "granularity": pools["granularity"],
    }
    job = at("runLauncher.config.k8sRunLauncher.runK8sConfig.jobSpecConfig")
    assert DAGSTER["run_monitoring"] == {
        **{snake(key): value for key, value in daemon["runMonitoring"].items()},
        "max_runtime_seconds": job["activeDeadlineSeconds"],
    }
    assert DAGSTER["run_retries"] == {snake(key): value for key, value in daemon["runRetries"].items()}
    kept = VALUES["retention"]["sensor"]["purgeAfterDays"]
    assert DAGSTER["retention"]["sensor"]["purge_after_days"].items() <= kept.items()
    assert DAGSTER["telemetry"] == VALUES["telemetry"]


def snake(key: str) -> str:
    return re.sub("([A-Z])", r"_\1", key).lower()


def test_code_gets_settings_that_it_knows_and_secrets_by_name_alone() -> None:
    environment = {entry["name"]: entry["value"] for entry in CODE["env"]}
    assert {name for name in environment if name.startswith("TAXI_")} <= set(VARIABLES)
    capitals = {"PROJECT": "a-project", "BUCKET": "a-bucket"}
    settings = Settings.from_environment({name: capitals.get(value, value) for name, value in environment.items()})
    assert settings.env == "cloud"
    assert settings.gcp_project == "a-project"
    assert CODE["envSecrets"] == [{"name": "taxi-warehouse"}]
    assert "postgresqlPassword" not in VALUES["postgresql"]
    assert "URL" not in "".join(environment)


def test_only_the_read_only_ui_is_added_and_nothing_is_published() -> None:
    assert VALUES["ingress"] == {"enabled": False}
    webserver = VALUES["dagsterWebserver"]
    assert webserver["service"]["type"] == "ClusterIP"
    assert webserver["enableReadOnly"] is True
    # Root alone may listen below 1024.
    assert webserver["service"]["port"] == webserver["readinessProbe"]["httpGet"]["port"] > 1024
    assert all(VALUES[name]["podSecurityContext"]["runAsNonRoot"] for name in ("dagsterWebserver", "dagsterDaemon"))


def job_of_a_run() -> kubernetes.client.V1Job:
    """Build the Kubernetes job of a run, as the launcher builds it from the chart's configuration."""
    from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    of_launcher = {snake(key): value for key, value in launcher["runK8sConfig"].items()}
    # What the chart's template gives the code server as its container context, from the deployment's values.
    of_code = {
        "image_pull_policy": CODE["image"]["pullPolicy"],
        "env": CODE["env"],
        "env_secrets": [secret["name"] for secret in CODE["envSecrets"]],
        "volumes": CODE["volumes"],
        "volume_mounts": CODE["volumeMounts"],
        "resources": CODE["resources"],
        "service_account_name": VALUES["dagster-user-deployments"]["serviceAccount"]["name"],
    }
    context = K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(of_launcher)).merge(
        K8sContainerContext.create_from_config({"k8s": of_code})
    )
    config = DagsterK8sJobConfig(
        job_image=f"{CODE['image']['repository']}:{CODE['image']['tag']}",
        dagster_home="/opt/dagster/dagster_home",
        instance_config_map="taxi-dagster-instance",
        postgres_password_secret=VALUES["global"]["postgresqlSecretName"],
    )
    return construct_dagster_k8s_job(
        config, ["dagster", "api", "execute_run"], "dagster-run-x", context.run_k8s_config, "dagster-run-x"
    )


def test_a_run_is_a_pod_that_is_bounded_closed_and_has_secrets_by_reference() -> None:
    job = job_of_a_run().spec
    pod = job.template.spec
    [container] = pod.containers
    assert container.image == "REGISTRY/taxi-assets:0.1.0"
    assert pod.service_account_name == "taxi-assets"
    assert pod.security_context.run_as_non_root
    assert pod.security_context.run_as_user == 1000
    assert container.security_context.capabilities.drop == ["ALL"]
    assert container.security_context.allow_privilege_escalation is False
    # A month of 25 million rows peaks at 475 MiB.
    assert container.resources.requests == {"cpu": "500m", "memory": "512Mi"}
    assert container.resources.limits == {"cpu": "2", "memory": "1Gi"}
    assert {source.secret_ref.name for source in container.env_from if source.secret_ref} == {"taxi-warehouse"}
    [password] = [entry for entry in container.env if entry.name == "DAGSTER_PG_PASSWORD"]
    assert password.value is None
    assert password.value_from.secret_key_ref.name == "dagster-postgresql"
    assert "/var/lib/taxi" in {mount.mount_path for mount in container.volume_mounts}
    assert job.ttl_seconds_after_finished == 86400


def test_the_guide_names_the_chart_of_the_pinned_dagster() -> None:
    guide = (PROJECT_ROOT / "docs" / "kubernetes.md").read_text()
    assert f"--version {importlib.metadata.version('dagster')} " in guide
    assert "EXPOSE 4000" in (PROJECT_ROOT / "Dockerfile").read_text()
    assert CODE["port"] == 4000
