//! Temporary.
use crate::operator::*;use crate::coder::*;use crate::combine::*;use crate::batch::*;use crate::*;
/// x
#[derive(Debug)]
pub struct GroupWindows<K,V,C>(std::marker::PhantomData<fn(K,V,C)>);
impl<K:Key,V:Data,C:CombineFn<V>> GroupWindows<K,V,C>{
/// x
pub fn new(_c:C,_s:crate::windowing::WindowingStrategy,_a:bool)->Self{unreachable!()}}
impl<K:Key,V:Data,C:CombineFn<V>> Operator<Kv<K,V>> for GroupWindows<K,V,C>{type Out=Kv<K,C::Output>;
fn on_batch(&mut self,_i:&mut Batch<Kv<K,V>>,_o:&mut Output<'_,Self::Out>)->Result<(),BoxError>{unreachable!()}}
