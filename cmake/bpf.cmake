# bpf_object(NAME SOURCE): compiles SOURCE (BPF C) to ${CMAKE_CURRENT_BINARY_DIR}/NAME.bpf.o; target NAME_bpf.
set(BPF_CFLAGS -O2 -g -target bpf -D__TARGET_ARCH_x86 -Wall -Werror -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -I${CMAKE_SOURCE_DIR})
function(bpf_object name source)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  add_custom_command(OUTPUT ${out}
    COMMAND ${BPF_CLANG} ${BPF_CFLAGS} -MD -MF ${out}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${out}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source} DEPFILE ${out}.d VERBATIM)
  add_custom_target(${name}_bpf ALL DEPENDS ${out})
endfunction()

# embed(LIBRARY SYMBOL FILE): a static library with the bytes of FILE as `extern "C" const unsigned char SYMBOL[], SYMBOL_end[]`.
function(embed library symbol file)
  set(asm ${CMAKE_CURRENT_BINARY_DIR}/${library}.S)
  file(WRITE ${asm} ".section .rodata\n.balign 16\n.global ${symbol}\n${symbol}:\n.incbin \"${file}\"\n.global ${symbol}_end\n${symbol}_end:\n.byte 0\n.section .note.GNU-stack,\"\",@progbits\n")
  set_source_files_properties(${asm} PROPERTIES OBJECT_DEPENDS ${file})
  add_library(${library} STATIC ${asm})
endfunction()
