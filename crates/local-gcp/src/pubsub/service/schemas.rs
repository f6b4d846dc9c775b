//! `google.pubsub.v1.SchemaService` over gRPC.

use tonic::{Request, Response, Status};

use super::handle::PubSub;
use crate::proto::pubsub::{self as proto, SchemaView};
use crate::proto::schema_service::SchemaService;
use crate::pubsub::error::Error;
use crate::pubsub::state::validate_schema;

type Answer<T> = Result<Response<T>, Status>;

/// Schemas and their revisions.
#[derive(Clone, Debug)]
pub(crate) struct SchemasService {
    pubsub: PubSub,
}

impl SchemasService {
    pub(crate) fn new(pubsub: PubSub) -> Self {
        Self { pubsub }
    }
}

/// Lists leave definitions out unless asked for them; everything else has them.
fn listed(view: SchemaView) -> SchemaView {
    if view == SchemaView::Unspecified { SchemaView::Basic } else { view }
}

/// One page of schemas; shared with the REST face.
pub(in crate::pubsub) fn list_schemas(
    pubsub: &PubSub,
    it: &proto::ListSchemasRequest,
) -> crate::pubsub::Result<proto::ListSchemasResponse> {
    let page = pubsub.change(|state, _| {
        state.list_schemas(&it.parent, listed(it.view()), it.page_size, &it.page_token)
    })?;
    let next_page_token = page.next_page_token;
    Ok(proto::ListSchemasResponse { schemas: page.entries, next_page_token })
}

/// One page of revisions; shared with the REST face.
pub(in crate::pubsub) fn list_schema_revisions(
    pubsub: &PubSub,
    it: &proto::ListSchemaRevisionsRequest,
) -> crate::pubsub::Result<proto::ListSchemaRevisionsResponse> {
    let page = pubsub.change(|state, _| {
        state.list_schema_revisions(&it.name, listed(it.view()), it.page_size, &it.page_token)
    })?;
    let next_page_token = page.next_page_token;
    Ok(proto::ListSchemaRevisionsResponse { schemas: page.entries, next_page_token })
}

/// A schema under its parent; shared with the REST face.
pub(in crate::pubsub) fn create_schema(
    pubsub: &PubSub,
    it: proto::CreateSchemaRequest,
) -> crate::pubsub::Result<proto::Schema> {
    let schema = it.schema.ok_or_else(|| Error::invalid("No schema given."))?;
    let name = format!("{}/schemas/{}", it.parent, it.schema_id);
    pubsub.change(|state, now| state.create_schema(name, schema, now))
}

#[tonic::async_trait]
impl SchemaService for SchemasService {
    async fn create_schema(
        &self,
        request: Request<proto::CreateSchemaRequest>,
    ) -> Answer<proto::Schema> {
        Ok(Response::new(create_schema(&self.pubsub, request.into_inner())?))
    }

    async fn get_schema(&self, request: Request<proto::GetSchemaRequest>) -> Answer<proto::Schema> {
        let it = request.into_inner();
        Ok(Response::new(self.pubsub.change(|state, _| state.get_schema(&it.name, it.view()))?))
    }

    async fn list_schemas(
        &self,
        request: Request<proto::ListSchemasRequest>,
    ) -> Answer<proto::ListSchemasResponse> {
        Ok(Response::new(list_schemas(&self.pubsub, request.get_ref())?))
    }

    async fn list_schema_revisions(
        &self,
        request: Request<proto::ListSchemaRevisionsRequest>,
    ) -> Answer<proto::ListSchemaRevisionsResponse> {
        Ok(Response::new(list_schema_revisions(&self.pubsub, request.get_ref())?))
    }

    async fn commit_schema(
        &self,
        request: Request<proto::CommitSchemaRequest>,
    ) -> Answer<proto::Schema> {
        let it = request.into_inner();
        let schema = it.schema.ok_or_else(|| Error::invalid("No schema given."))?;
        let committed = self.pubsub.change(|state, now| state.commit_schema(&it.name, schema, now));
        Ok(Response::new(committed?))
    }

    async fn rollback_schema(
        &self,
        request: Request<proto::RollbackSchemaRequest>,
    ) -> Answer<proto::Schema> {
        let it = request.into_inner();
        let done =
            self.pubsub.change(|state, now| state.rollback_schema(&it.name, &it.revision_id, now));
        Ok(Response::new(done?))
    }

    async fn delete_schema_revision(
        &self,
        request: Request<proto::DeleteSchemaRevisionRequest>,
    ) -> Answer<proto::Schema> {
        let name = request.into_inner().name;
        Ok(Response::new(self.pubsub.change(|state, _| state.delete_schema_revision(&name))?))
    }

    async fn delete_schema(&self, request: Request<proto::DeleteSchemaRequest>) -> Answer<()> {
        let name = request.into_inner().name;
        Ok(Response::new(self.pubsub.change(|state, _| state.delete_schema(&name))?))
    }

    async fn validate_schema(
        &self,
        request: Request<proto::ValidateSchemaRequest>,
    ) -> Answer<proto::ValidateSchemaResponse> {
        validate_schema(request.into_inner().schema)?;
        Ok(Response::new(proto::ValidateSchemaResponse {}))
    }

    async fn validate_message(
        &self,
        request: Request<proto::ValidateMessageRequest>,
    ) -> Answer<proto::ValidateMessageResponse> {
        let it = request.into_inner();
        let encoding = it.encoding();
        self.pubsub
            .change(|state, _| state.validate_message(it.schema_spec, encoding, &it.message))?;
        Ok(Response::new(proto::ValidateMessageResponse {}))
    }
}
