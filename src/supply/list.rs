//! Lists a bucket, page by page.

use super::error::StoreError;
use super::store::Store;
use crate::origin::{Call, ListPage, ListedObject};

impl Store {
    /// Lists a page, see [`Call::list`].
    pub async fn list_page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        from: Option<&str>,
    ) -> Result<ListPage, StoreError> {
        let reply = self.send(Call::list(prefix, delimiter, from)).await?;
        ListPage::parse(&reply.body, self.endpoint())
            .map_err(|reason| StoreError::BadReply { url: self.url(""), reason })
    }

    /// Lists all objects whose key begins with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, StoreError> {
        let mut page = self.list_page(prefix, None, None).await?;
        let mut objects = page.objects;
        while let Some(from) = page.next {
            page = self.list_page(prefix, None, Some(&from)).await?;
            objects.append(&mut page.objects);
        }
        Ok(objects)
    }
}
