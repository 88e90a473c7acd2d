# Sources made at build time: the seccomp filter from syscalls.txt and the JSON Schema as bytes. Sets GENERATED_SOURCES.
add_executable(generate_filter ${CMAKE_SOURCE_DIR}/tools/generate_filter.cpp)
target_include_directories(generate_filter PRIVATE ${SECCOMP_INCLUDE_DIRS})
target_link_libraries(generate_filter PRIVATE ${SECCOMP_LINK_LIBRARIES})

set(GENERATED_DIR ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${GENERATED_DIR})
set(SYSCALL_TABLE ${CMAKE_SOURCE_DIR}/src/confine/syscalls.txt)
set(POLICY_SCHEMA ${CMAKE_SOURCE_DIR}/policy/schema/policy.v1.json)

add_custom_command(
  OUTPUT ${GENERATED_DIR}/filter.cpp
  COMMAND generate_filter filter ${SYSCALL_TABLE} ${GENERATED_DIR}/filter.cpp
  DEPENDS generate_filter ${SYSCALL_TABLE}
  COMMENT "Generating the seccomp filter")
add_custom_command(
  OUTPUT ${GENERATED_DIR}/schema.cpp
  COMMAND generate_filter bytes policy_schema ${POLICY_SCHEMA} ${GENERATED_DIR}/schema.cpp
  DEPENDS generate_filter ${POLICY_SCHEMA}
  COMMENT "Embedding the policy schema")

set(GENERATED_SOURCES ${GENERATED_DIR}/filter.cpp ${GENERATED_DIR}/schema.cpp)
