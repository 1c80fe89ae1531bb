"""The taxi zone lookup, in the lake and in both warehouses."""

import pyarrow.parquet as pq
from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult, MetadataValue, asset

from taxi_assets.contract.object_names import ZONES_OBJECT, raw_prefix
from taxi_assets.contract.tables import TABLES, ZONES_TABLE
from taxi_assets.contract.zones import ZONES_SCHEMA, read_zones
from taxi_assets.defs.assets.common import CODE_VERSION, RETRIES, as_dagster_failure
from taxi_assets.defs.assets.metadata import column_schema, preview
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.source import SourceResource
from taxi_assets.runtime.queues import queue_tags

NAME = "zones"


def build_zones() -> AssetsDefinition:
    """The asset `zones`."""

    @asset(
        key=[NAME],
        group_name=NAME,
        description=f"""{TABLES[ZONES_TABLE].description}

From TLC's zone lookup in any of its variants to one form, in the lake, in BigQuery and in PostgreSQL. It must have
the zones 1 to 265 once each. A rerun replaces the tables whole. With `TAXI_SOURCE=sample`, the names are made up.""",
        metadata={"dagster/column_schema": column_schema(ZONES_SCHEMA)},
        kinds={"parquet", "bigquery", "postgres", "table"},
        pool="source",
        op_tags=queue_tags("source"),
        retry_policy=RETRIES,
        code_version=CODE_VERSION,
    )
    def zones(
        context: AssetExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        bigquery: BigQueryWarehouse,
        postgres: PostgresWarehouse,
    ) -> MaterializeResult:
        with as_dagster_failure(context), lake.scratch() as folder:
            raw = source.fetch_zones(folder)
            assert raw.path is not None, "nothing was said to be known"
            table = read_zones(raw.path)
            path = folder / "zones.parquet"
            pq.write_table(table, path)
            facts = {"source_url": raw.fingerprint.url, "sha256": raw.sha256, "code_version": CODE_VERSION}
            lake.put(raw.path, raw_prefix(NAME) + raw.file_name, facts)
            published = lake.put(path, ZONES_OBJECT, facts | {"rows": str(table.num_rows)})
            in_bigquery = bigquery.replace_table(ZONES_TABLE, published.uri, table.num_rows)
            in_postgres = postgres.replace_table(ZONES_TABLE, path, table.num_rows)
            ten_rows = preview(path)
        context.log.info("%s zones published in %s and %s", table.num_rows, in_bigquery, in_postgres)
        return MaterializeResult(
            metadata={
                "dagster/row_count": table.num_rows,
                "dagster/uri": published.uri,
                "bigquery_table": in_bigquery,
                "postgres_table": in_postgres,
                "source": raw.fingerprint.url,
                "raw_sha256": raw.sha256,
                "preview": MetadataValue.md(ten_rows),
            }
        )

    return zones
