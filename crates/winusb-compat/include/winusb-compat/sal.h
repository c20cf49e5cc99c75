/* Annotations for Microsoft's analyser. They mean nothing to other compilers. Why not __in and __out? The C++ library
 * uses those names for its own variables. */
#ifndef WINUSB_COMPAT_SAL_H
#define WINUSB_COMPAT_SAL_H

#define _In_
#define _In_opt_
#define _In_z_
#define _In_opt_z_
#define _In_reads_(count)
#define _In_reads_opt_(count)
#define _In_reads_bytes_(count)
#define _In_reads_bytes_opt_(count)
#define _In_range_(low, high)
#define _Inout_
#define _Inout_opt_
#define _Inout_z_
#define _Inout_updates_(count)
#define _Inout_updates_opt_(count)
#define _Inout_updates_bytes_(count)
#define _Inout_updates_bytes_opt_(count)
#define _Inout_updates_bytes_to_(size, count)
#define _Out_
#define _Out_opt_
#define _Out_writes_(count)
#define _Out_writes_opt_(count)
#define _Out_writes_z_(count)
#define _Out_writes_to_(size, count)
#define _Out_writes_to_opt_(size, count)
#define _Out_writes_bytes_(count)
#define _Out_writes_bytes_opt_(count)
#define _Out_writes_bytes_to_(size, count)
#define _Out_writes_bytes_to_opt_(size, count)
#define _Out_writes_bytes_all_(count)
#define _Out_range_(low, high)
#define _Out_cap_(count)
#define _Out_z_cap_(count)
#define _Out_bytecap_(count)
#define _Out_opt_bytecap_(count)
#define _In_bytecount_(count)
#define _In_opt_bytecount_(count)
#define _Inout_bytecount_(count)
#define _Inout_opt_bytecount_(count)
#define _Outptr_
#define _Outptr_opt_
#define _Outptr_result_maybenull_
#define _Outptr_result_bytebuffer_(count)
#define _COM_Outptr_
#define _Ret_maybenull_
#define _Ret_notnull_
#define _Ret_z_
#define _Check_return_
#define _Must_inspect_result_
#define _Success_(expression)
#define _When_(expression, annotations)
#define _At_(target, annotations)
#define _Pre_
#define _Post_
#define _Pre_notnull_
#define _Post_invalid_
#define _Post_ptr_invalid_
#define _Reserved_
#define _Frees_ptr_
#define _Frees_ptr_opt_
#define _Field_size_(count)
#define _Field_size_bytes_(count)
#define _Null_terminated_
#define _NullNull_terminated_
#define _Printf_format_string_
#define _Use_decl_annotations_
#define _Analysis_assume_(expression)
#define _Function_class_(name)
#define _IRQL_requires_max_(level)

#endif
