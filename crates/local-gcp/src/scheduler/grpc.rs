//! `google.cloud.scheduler.v1.CloudScheduler` over gRPC.

use tonic::{Request, Response, Status};

use super::api::CloudScheduler;
use super::error::Error;
use crate::proto::cloud_scheduler::CloudScheduler as Service;
use crate::proto::scheduler as proto;

type Answer<T> = Result<Response<T>, Status>;

fn no_job() -> Error {
    Error::invalid("no job is given")
}

#[tonic::async_trait]
impl Service for CloudScheduler {
    async fn list_jobs(
        &self,
        request: Request<proto::ListJobsRequest>,
    ) -> Answer<proto::ListJobsResponse> {
        Ok(Response::new(self.list(request.get_ref())?))
    }

    async fn get_job(&self, request: Request<proto::GetJobRequest>) -> Answer<proto::Job> {
        Ok(Response::new(self.get(&request.get_ref().name)?))
    }

    async fn create_job(&self, request: Request<proto::CreateJobRequest>) -> Answer<proto::Job> {
        let request = request.into_inner();
        Ok(Response::new(self.create(&request.parent, request.job.ok_or_else(no_job)?)?))
    }

    async fn update_job(&self, request: Request<proto::UpdateJobRequest>) -> Answer<proto::Job> {
        let request = request.into_inner();
        let mask = request.update_mask.unwrap_or_default().paths;
        Ok(Response::new(self.update(request.job.ok_or_else(no_job)?, &mask)?))
    }

    async fn delete_job(&self, request: Request<proto::DeleteJobRequest>) -> Answer<()> {
        Ok(Response::new(self.delete(&request.get_ref().name)?))
    }

    async fn pause_job(&self, request: Request<proto::PauseJobRequest>) -> Answer<proto::Job> {
        Ok(Response::new(self.pause(&request.get_ref().name)?))
    }

    async fn resume_job(&self, request: Request<proto::ResumeJobRequest>) -> Answer<proto::Job> {
        Ok(Response::new(self.resume(&request.get_ref().name)?))
    }

    async fn run_job(&self, request: Request<proto::RunJobRequest>) -> Answer<proto::Job> {
        Ok(Response::new(self.run(&request.get_ref().name).await?))
    }
}
